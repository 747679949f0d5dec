# SPDX-License-Identifier: Apache-2.0
"""What tests run against and Debian does not have: fetched once, by the package managers, into a folder beside build/.

A folder appears only when it is whole, and is made anew when what it was made from has changed.
"""
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys


class Unavailable(Exception):
    """It cannot be had here: no such program, no registry. Says which."""


def need_programs(*names):
    missing = [name for name in names if not shutil.which(name)]
    if missing:
        raise Unavailable(f"no {', '.join(missing)} here (tools/deps test)")


def stamp(files):
    digest = hashlib.sha256()
    for file in files:
        with open(file, "rb") as f:
            digest.update(f.read())
    return digest.hexdigest()


@contextlib.contextmanager
def locked(store):
    """Two suites at once: the second finds all done."""
    os.makedirs(store, exist_ok=True)
    with open(os.path.join(store, ".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def is_made(dir, stamp):
    try:
        with open(os.path.join(dir, ".stamp"), encoding="utf-8") as f:
            return f.read() == stamp
    except FileNotFoundError:
        return False


def make(dir, stamp, limit_s, command_for, more=None):
    """Runs a command that fills a folder, which has `more` files (name to text) when it starts."""
    new = dir + ".new"
    shutil.rmtree(new, ignore_errors=True)
    os.makedirs(new)
    for name, text in (more or {}).items():
        os.makedirs(os.path.dirname(os.path.join(new, name)), exist_ok=True)
        with open(os.path.join(new, name), "w", encoding="utf-8") as f:
            f.write(text)
    log = dir + ".log"
    command = command_for(new)
    with open(log, "wb") as out:
        try:
            status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=limit_s).returncode
        except subprocess.TimeoutExpired:
            status = f"nothing within {limit_s} s"
    if status != 0:
        with open(log, encoding="utf-8", errors="replace") as f:
            lines = [line.strip() for line in f if line.strip()]
        why = next((line for line in lines if "ERROR" in line or "error:" in line), lines[-1] if lines else status)
        raise Unavailable(f"{os.path.basename(command[0])}: {why} (all of it: {log})")
    with open(os.path.join(new, ".stamp"), "w", encoding="utf-8") as f:
        f.write(stamp)
    shutil.rmtree(dir, ignore_errors=True)
    os.rename(new, dir)


def maven_jars(dir, pom, limit_s):
    """A folder of the jars that a pom names."""
    if not is_made(dir, stamp([pom])):
        print("fetching jars with Maven", file=sys.stderr, flush=True)
        make(dir, stamp([pom]), limit_s, lambda to: [
            "mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", f"-DoutputDirectory={to}"])


def npm_modules(dir, package, limit_s):
    """A folder with node_modules of a package.json and the package-lock.json beside it, whose versions are exact."""
    lock = os.path.join(os.path.dirname(package), "package-lock.json")
    if is_made(dir, stamp([package, lock])):
        return
    texts = {}
    for file in (package, lock):
        with open(file, encoding="utf-8") as f:
            texts[os.path.basename(file)] = f.read()
    print("fetching modules with npm", file=sys.stderr, flush=True)
    make(dir, stamp([package, lock]), limit_s, lambda to: [
        "npm", "ci", "--prefix", to, "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"], texts)


def java_classes(dir, class_path, made_from, sources, more=None):
    """A folder of our own classes. made_from: what their class path comes from."""
    if not is_made(dir, stamp([*made_from, *sources])):
        make(dir, stamp([*made_from, *sources]), 120, lambda to: [
            "javac", "-proc:none", "-nowarn", "-Xlint:-options", "-d", to, "-cp", class_path, *sources], more)
