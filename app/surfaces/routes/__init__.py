"""The paths of surfaces whose operations are not OpenAI's."""
