"""Seed 004, "Agent-to-Agent Communication". Left out in the seed: `analyze_content`."""
# ruff: noqa: E402  (the seed's own layout)

analyze_content = str.upper

# Publisher agent
from ropewalk.compat.ailf.messaging.redis import RedisPubSub

pubsub = RedisPubSub()
pubsub.publish("agent-commands", {"command": "analyze", "data": "content to analyze"})


# Subscriber agent
def handle_command(message):
    if message["command"] == "analyze":
        # Process the command
        result = analyze_content(message["data"])
        # Publish the result
        pubsub.publish("agent-results", {"result": result})


pubsub = RedisPubSub()
pubsub.subscribe("agent-commands", handle_command)
pubsub.run()  # Blocking call
