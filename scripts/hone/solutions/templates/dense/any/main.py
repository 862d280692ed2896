"""{{definition}}: {{summary}}

{{signature}}

What the definition's reference does, to begin with: it is right, and slow. Put faster steps in its place one by one.
"""

from .reference import run as reference


def run({{names}}):
    return reference({{names}})
