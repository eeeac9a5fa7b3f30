#!/usr/bin/python3
"""Counts the test cases of one run of bazel test, and names the bad ones.

    bazel test --build_event_json_file=EVENTS ...
    tools/test_report.py BAZEL_EXIT_STATUS EVENTS AGAIN [-- PROBLEM ...]
    tools/test_report.py --failed-targets EVENTS

Reads the test.xml files that this run's events name, so that tests which no
longer exist do not count.  A case that was skipped or disabled counts as
failed: every machine that ckpt supports can run all of them.  So does each
PROBLEM, a sentence about something else that is wrong.

AGAIN is the events of a second run, of what failed in the first; it need not
be there.  Its results count, and what passes there is named as flaky.

The last line is "N passed, N failed".  Exits 1 if something failed.
"""
import json
import os
import sys
import urllib.parse
import xml.etree.ElementTree


def read_events(path):
    with open(path) as lines:
        return [json.loads(line) for line in lines]


def last_attempts(events):
    """The testResult events: one for each target, shard and run."""
    results = {}
    for event in events:
        key = event["id"].get("testResult")
        if key and "testResult" in event:
            # Attempts of a flaky test come in order.
            where = (key["label"], key.get("shard", 1), key.get("run", 1))
            results[where] = event["testResult"]
    return results


def failed_targets(events):
    """Targets of which a test has failed."""
    return sorted({where[0] for where, result in last_attempts(events).items()
                   if result.get("status") not in ("PASSED", "FLAKY")})


def broken_targets(events):
    """Targets that could not be built or analyzed, so that no test ran."""
    broken = set()
    for event in events:
        key = event["id"].get("targetCompleted") or event["id"].get("targetConfigured")
        if not key:
            continue
        if "aborted" in event or not event.get("completed", {"success": True}).get("success"):
            broken.add(key["label"])
    return broken


def output(result, name):
    for file in result.get("testActionOutput", []):
        if file["name"] == name and file.get("uri", "").startswith("file://"):
            return urllib.parse.unquote(file["uri"][len("file://"):])
    return None


def cases(result):
    """Yields (name, verdict) of each test case; verdict is None for passed."""
    path = output(result, "test.xml")
    if not path:
        return
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        name = case.get("name", "")
        if case.get("classname"):
            name = case.get("classname") + "." + name
        tags = {child.tag for child in case}
        if tags & {"failure", "error"}:
            yield name, "failed"
        elif "skipped" in tags or case.get("result") == "skipped":
            yield name, "skipped"
        elif case.get("status") == "notrun":
            yield name, "disabled"
        else:
            yield name, None


def skips_in_log(result):
    """Cases skipped by a gtest that another program started."""
    path = output(result, "test.log")
    if not path:
        return
    with open(path, errors="replace") as lines:
        for line in lines:
            if line.startswith("[  SKIPPED ] ") and "." in line and "(" in line:
                yield line.split()[3]


def judge(events):
    """Returns the number of passed cases and the sentences about others."""
    passed = 0
    bad = []
    for (label, _, _), result in sorted(last_attempts(events).items()):
        here = []
        names = set()
        for name, verdict in cases(result):
            names.add(name)
            if verdict:
                here.append("%-8s %s %s" % (verdict, label, name))
            else:
                passed += 1
        here += ["skipped  %s %s" % (label, name)
                 for name in sorted(set(skips_in_log(result)) - names)]
        if result.get("status") not in ("PASSED", "FLAKY") and not here:
            here.append("failed   %s (%s)" % (label, result.get("status")))
        bad += here
    ran = {label for label, _, _ in last_attempts(events)}
    for label in sorted(broken_targets(events) - ran):
        bad.append("failed   %s was not built" % label)
    return passed, bad


def report(status, first, again, problems):
    """The passed cases, and the sentences about flaky and about bad ones."""
    try:
        events = read_events(first)
        failed = failed_targets(events)
        if os.path.exists(again):
            events += read_events(again)
        passed, bad = judge(events)
    except (OSError, ValueError) as error:
        failed = []
        passed, bad = 0, ["failed   no result to count: %s" % error]
    else:
        failed = sorted(set(failed) - set(failed_targets(events)))
    bad += ["failed   " + problem for problem in problems]
    if status != 0 and not bad:
        bad.append("failed   bazel, with exit status %d" % status)
    flaky = ["flaky    %s failed, and passed when it was run again, alone"
             % label for label in failed]
    return passed, flaky, bad


def main():
    if sys.argv[1] == "--failed-targets":
        for label in failed_targets(read_events(sys.argv[2])):
            print(label)
        return 0
    status, first, again = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    passed, flaky, bad = report(status, first, again, sys.argv[5:])
    for line in flaky + bad:
        print(line)
    print("%d passed, %d failed" % (passed, len(bad)))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
