from pathlib import Path

import pytest

from support import containers


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if containers.IMAGE is not None:
        return
    for item in items:
        if Path(__file__).parent in Path(item.path).parents:
            item.add_marker(pytest.mark.skip(reason="`make image-test` builds the image that this is about"))
