"""Run generated tests of references by op type, several at once, and print a table. See reference_tests.sh.

reference_tests.py TESTS SITE

TESTS has a folder of tests for each op type; SITE has packages for all of them in `all`, for one in a folder of its
name."""

import collections
import importlib.util
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

import torch

TESTS, SITE = sys.argv[1], sys.argv[2]
LIMIT = float(os.environ.get("LIMIT", 480))
TEST_LIMIT = os.environ.get("TEST_LIMIT", "240")  # the first test of a kernel waits for its compilation
JOBS = int(os.environ.get("JOBS", 4))

# By how long FlashInfer compiles for them, the shortest first: nothing of it is in the wheel.
ORDER = ("rmsnorm rope sampling gemm mamba_ssu gqa_ragged mla_ragged gqa_paged mla_paged dsa_paged gdn moe").split()


# FlashInfer's experts for Hopper are more than 250 sources of CUTLASS: those who have the time name them here.
LIBRARY_OPS = os.environ.get("LIBRARY_OPS", " ".join(ORDER[:-1])).split()


def op_types():
    there = sorted(os.listdir(TESTS), key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    return os.environ["OPS"].split() if "OPS" in os.environ else there


def site_of(op_type):
    folders = [os.path.join(SITE, name) for name in (op_type, "all")]
    return [folder for folder in folders if os.path.isdir(folder)]


PARTS = {"torch": "not flashinfer and not sglang", "library": "flashinfer or sglang"}


def folder_of(job, name):
    return os.path.join(TESTS, job["op_type"], job["part"] + name)


def start(job):
    """One pytest for a part of an op type's tests; each is told as it ends, so that what a limit cuts off is known."""
    only = PARTS[job["part"]]
    if torch.cuda.is_available() and job["part"] == "torch":
        only = f"cuda and ({only})"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rN", "--tb=line", "--color=no", "-v",
               "-k", only, "--junitxml", folder_of(job, ".xml"), os.path.join(TESTS, job["op_type"])]
    if importlib.util.find_spec("pytest_timeout"):
        command += ["--timeout", TEST_LIMIT]
    path = os.pathsep.join(site_of(job["op_type"]) + [p for p in (os.environ.get("PYTHONPATH"),) if p])
    job["log"] = open(folder_of(job, ".log"), "w+")
    job["child"] = subprocess.Popen(command, stdout=job["log"], stderr=subprocess.STDOUT, start_new_session=True,
                                    env=dict(os.environ, PYTHONPATH=path, PYTHONUNBUFFERED="1", COLUMNS="250"))
    job["since"] = time.time()
    return job


def stop(job):
    """End it and the compilers that it started."""
    try:
        os.killpg(job["child"].pid, 9)
    except ProcessLookupError:
        pass
    job["child"].wait()
    job["cut"] = True


def run_all(waiting):
    started, running, done = time.time(), [], []
    while waiting or running:
        while waiting and len(running) < JOBS and time.time() - started < LIMIT:
            running.append(start(waiting.pop(0)))
        for job in list(running):
            if job["child"].poll() is None and time.time() - started > LIMIT:
                stop(job)
            if job["child"].poll() is not None:
                job["seconds"] = time.time() - job["since"]
                running.remove(job)
                done.append(job)
                print(f"-- {job['op_type']}, {job['part']}: {job['seconds']:.0f} s", flush=True)
        if waiting and time.time() - started > LIMIT:
            done += [dict(job, never=True) for job in waiting]
            waiting = []
        time.sleep(0.2)
    return done


def first_line(text):
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[0][:150] if lines else "no word"


def plain(case):
    """Where a test is and what it is: the file's name without the test's parameters."""
    return case.get("classname", "").split(".")[-1] + "::" + case.get("name", "").split("[")[0]


def from_report(path):
    """(what happened, whether a library was asked, the test, why) of each test."""
    for case in xml.parse(path).getroot().iter("testcase"):
        library = "flashinfer" in case.get("name") or "sglang" in case.get("name")
        what, why = "passed", ""
        for kind in ("failure", "error", "skipped"):
            found = case.find(kind)
            if found is not None:
                what, why = ("skipped" if kind == "skipped" else "failed"), first_line(found.get("message"))
        yield what, library, plain(case), why


def from_log(log):
    """The same of tests that ended before all was cut off."""
    log.seek(0)
    line = r"(\w+)\.py::(\w+).*? (PASSED|FAILED|SKIPPED|ERROR)(?: \((.*)\))?"
    for file, name, what, why in re.findall(line, log.read()):
        library = "flashinfer" in name or "sglang" in name
        yield {"ERROR": "failed"}.get(what, what.lower()), library, f"{file}::{name}", why[:150]


def results_of(job):
    if os.path.exists(folder_of(job, ".xml")) and not job.get("cut"):
        return list(from_report(folder_of(job, ".xml")))
    return list(from_log(job["log"])) if "log" in job else []


def note_of(job, results):
    if job["left_out"]:
        return job["part"] + " left out: not in LIBRARY_OPS"
    if job.get("never"):
        return job["part"] + " never started: no time left"
    if job.get("cut"):
        return job["part"] + " cut off: no time left"
    if not results and job["child"].returncode != 5:  # 5: there are no such tests
        return job["part"] + " gave no result: " + last_line(job["log"])
    return ""


def row_of(op_type, jobs, reasons):
    """A row of the table; how many failed, and into `reasons` why what did not pass did not."""
    results, notes = [], []
    for job in jobs:
        found = results_of(job)
        results += found
        notes.append(note_of(job, found))
    for what, _, name, why in results:
        if what == "failed" or what == "skipped" and why not in ("", "no GPU"):
            reasons[(what, name if what == "failed" else op_type, why)] += 1
    counts = collections.Counter(what for what, *_ in results)
    library = sum(1 for what, asked, *_ in results if asked and what == "passed")
    seconds, note = sum(job.get("seconds", 0) for job in jobs), "; ".join(filter(None, notes))
    print("%-12s %7d %7d %7d %11d %8.0f %s" % (op_type, counts["passed"], counts["failed"], counts["skipped"], library,
                                              seconds, note))
    return counts["failed"] + sum("no result" in note for note in notes)


def show(jobs):
    """The table, and why what did not pass did not; how many failed."""
    reasons, failed = collections.Counter(), 0
    print("\n%-12s %7s %7s %7s %11s %8s" % ("op type", "passed", "failed", "skipped", "by library", "seconds"))
    for op_type in op_types():
        failed += row_of(op_type, [job for job in jobs if job["op_type"] == op_type], reasons)
    print()
    for (what, subject, why), count in sorted(reasons.items()):
        print(f"{what} {count} x {subject}: {why}")
    return failed


def last_line(log):
    log.seek(0)
    return ([line for line in log.read().splitlines() if line.strip()] or ["no word"])[-1][:150]


def main():
    # Torch's first: they wait for no compiler.
    jobs = [{"op_type": name, "part": part} for part in PARTS for name in op_types()]
    for job in jobs:
        job["left_out"] = job["part"] == "library" and job["op_type"] not in LIBRARY_OPS
    jobs = run_all([job for job in jobs if not job["left_out"]]) + [job for job in jobs if job["left_out"]]
    sys.exit(1 if show(jobs) else 0)


if __name__ == "__main__":
    main()
