"""What pyproject.toml cannot say: the wheel leaves out the conftest of the suites, which it leaves out as well."""

from __future__ import annotations

from setuptools import setup
from setuptools.command.build_py import build_py


class WithoutConftest(build_py):
    """Modules of a package, but those that pytest alone reads."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """As setuptools' own: package, module, file."""
        return [found for found in super().find_package_modules(package, package_dir) if found[1] != "conftest"]


setup(cmdclass={"build_py": WithoutConftest})
