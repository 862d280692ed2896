"""{{definition}} by a kernel from elsewhere, which lies in vendored/: {{summary}}

{{signature}}

Sources are a package: imports between them are relative, in the vendored files too. Here its arguments are put in
order, layouts converted, and what it returns is brought into the definition's shapes and dtypes.
"""

from .vendored.{{module}} import {{function}} as vendored_kernel


def run({{names}}):
    return vendored_kernel({{names}})
