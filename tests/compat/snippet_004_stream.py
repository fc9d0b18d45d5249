"""Seed 004, "Workflow Processing", both halves in their order. Left out in the seed: `process_document`."""
# ruff: noqa: E402  (the seed's own layout)


def process_document(content):
    print(content, flush=True)


from ropewalk.compat.ailf.messaging.redis import RedisStream

# Task producer
task_stream = RedisStream("tasks")
task_stream.add({"task_id": "123", "type": "document_processing", "content": "Document content"})

# Task worker
worker_stream = RedisStream("tasks")
worker_stream.create_consumer_group("workers", "worker-1")


def process_task(task):
    # Process the task
    if task["type"] == "document_processing":
        process_document(task["content"])
    return True  # Mark as processed successfully


worker_stream.process_messages(process_task)
