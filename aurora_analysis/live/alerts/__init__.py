"""Alert people when a session blocks cleanup for longer than its limit.

- `holds`     which holder is past its limit, which has ended: one message each; pure
- `messages`  the message: its sentence, its JSON, and its forms for Slack and SNS; pure
- `targets`   where a message goes: a URL, an SNS topic, a file, a command
- `outbox`    messages on disk until their target has accepted them
"""
