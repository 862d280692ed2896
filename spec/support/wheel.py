"""Make a small wheel: wheel.py FOLDER PACKAGE VERSION TAG NAME=TEXT..."""

import base64
import hashlib
import sys
import zipfile

folder, package, version, tag, *files = sys.argv[1:]
stem = "%s-%s" % (package.replace("-", "_"), version)
contents = dict(entry.split("=", 1) for entry in files)
about = stem + ".dist-info/"
contents[about + "METADATA"] = "Metadata-Version: 2.1\nName: %s\nVersion: %s\n" % (package, version)
contents[about + "WHEEL"] = "Wheel-Version: 1.0\nGenerator: spec\nRoot-Is-Purelib: true\nTag: %s\n" % tag
lines = []
for name, text in contents.items():
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    lines.append("%s,sha256=%s,%d" % (name, digest, len(text.encode())))
contents[about + "RECORD"] = "\n".join(lines + [about + "RECORD,,", ""])
with zipfile.ZipFile("%s/%s-%s.whl" % (folder, stem, tag), "w") as archive:
    for name, text in contents.items():
        archive.writestr(name, text)
