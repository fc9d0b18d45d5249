"""The tool loop: tools, approvals, agents. A loop is a node like any other, on the same log."""
