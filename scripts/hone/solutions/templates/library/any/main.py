"""{{definition}} by FlashInfer: {{summary}}

{{signature}}

The definition names {{module}}.{{function}}. Its arguments may have other names, another order or another layout than
the definition's inputs: look at its signature before you believe this call.
"""

from {{module}} import {{function}}


def run({{names}}):
    return {{function}}({{names}})
