"""Text completions: OpenAI's API, Bedrock's InvokeModel, and chat completions in their place."""
