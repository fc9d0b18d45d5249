"""The chat service of many pods and workers: any pod takes a message, any worker answers it, every tab gets it."""
