"""{{definition}} by FlashInfer: {{summary}}

{{signature}}

What stands in the call is part of each run, plans and copies too, and so it is timed.
"""

{{imports}}

{{constants}}

{{call}}


def run({{names}}):
    return flashinfer_call({{given}})
