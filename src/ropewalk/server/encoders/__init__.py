"""Other people's streams: a run's events in the words of OpenAI, the Vercel AI SDK and AG-UI; no I/O, no clock."""
