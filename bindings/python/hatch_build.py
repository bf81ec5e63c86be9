"""Builds the native library with cargo and puts it into the package.

With RUNGROUP_WHEEL, "LIBRARY:PLATFORM", the wheel is for that platform, and has that
library, which was built before."""

import os
import shutil
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLATFORM = sysconfig.get_platform().replace("-", "_").replace(".", "_")
LIBRARY = "librungroup.so.0"  # its soname, so that others in the process find it


class Hook(BuildHookInterface):
    """For wheels, editable ones included."""

    def initialize(self, version, build_data):
        if self.target_name != "wheel":
            return
        if ready := os.environ.get("RUNGROUP_WHEEL"):
            library, platform = ready.rsplit(":", 1)
            self.take(build_data, Path(library), platform)
            return
        root = Path(self.root)
        rust = root / "rust"  # in an sdist
        if not rust.is_dir():
            rust = root.parent.parent  # in a checkout
        if shutil.which("cargo") is None:
            raise SystemExit(
                "rungroup: cargo is needed to build the native library; install Rust "
                "1.88 or later from https://rustup.rs"
            )
        self.target = tempfile.TemporaryDirectory()
        folder = Path(os.environ.get("CARGO_TARGET_DIR", self.target.name)).absolute()
        command = "cargo build --release --locked -p rungroup-c".split()
        environment = {**os.environ, "CARGO_TARGET_DIR": str(folder)}
        subprocess.run(command, cwd=rust, env=environment, check=True)
        built = folder / "release" / "librungroup.so"
        if version == "editable":
            shutil.copy(built, root / "src/rungroup" / LIBRARY)
            self.tag(build_data, PLATFORM)
        else:
            self.take(build_data, built, PLATFORM)

    def take(self, build_data, library, platform):
        name = "librungroup.0.dylib" if "macosx" in platform else LIBRARY
        build_data["force_include"][str(library)] = f"rungroup/{name}"
        self.tag(build_data, platform)

    def tag(self, build_data, platform):
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
