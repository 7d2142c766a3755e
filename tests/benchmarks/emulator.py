"""The emulated Wix in a process of its own, so that its work is not counted as syncd's.

python -m tests.benchmarks.emulator SITES    prints {"url", "key", "sites"} and stays until its input ends.
"""

from __future__ import annotations

import json
import sys
import uuid

from syncd.sandbox.wix_server import Wix, serving

if __name__ == "__main__":
    wix = Wix()
    sites = [str(uuid.uuid4()) for _ in range(int(sys.argv[1]))]
    key = wix.issue_key(*sites)
    for site in sites:
        wix.site(site).options.quota = 10**9
    with serving(wix) as url:
        print(json.dumps({"url": url, "key": key, "sites": sites}), flush=True)
        sys.stdin.read()
