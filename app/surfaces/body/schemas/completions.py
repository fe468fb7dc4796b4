"""The body of ``POST completions`` (OpenAI's legacy text completions)."""

from __future__ import annotations

from app.surfaces.body.schemas.base import Array, Body, Either, Flag, Number, Table, Text, Whole
from app.surfaces.body.schemas.chat import MOST_TOKENS, stream_options
from app.surfaces.body.schemas.parts import string


class CompletionBody(Body):
    """Shape and limits of the top level; the prompt's arrays are read by the dialect."""

    model = Text(longest=512)
    prompt = Either(Text(), Array(longest=100_000), required=True)
    stream = Flag()
    max_tokens = Whole(least=0, most=MOST_TOKENS)
    temperature = Number(least=0, most=2)
    top_p = Number(least=0, most=1)
    frequency_penalty = Number(least=-2, most=2)
    presence_penalty = Number(least=-2, most=2)
    logit_bias = Table()
    logprobs = Either(Flag(), Whole(least=0, most=20))
    n = Whole(least=1, most=128)
    best_of = Whole(least=0, most=20)
    stop = Either(Text(), Array(each=string, longest=64))
    seed = Whole()
    suffix = Text()
    echo = Flag()
    user = Text()
    stream_options = Table(check=stream_options)
    fallbacks = Array(each=string, longest=16)
