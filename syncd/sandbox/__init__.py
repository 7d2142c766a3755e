"""All that syncd needs around it, on one machine: an emulated Wix, a real OpenBao, an AWS emulator.

For `syncd demo`, `syncd sandbox` and the tests; nothing of it is used when syncing.
"""
