"""The paths of doors whose operations are not OpenAI's."""
