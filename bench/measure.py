"""Measuring several programs in turn.

A contestant is a function without arguments that does its work once and gives a dictionary: seconds per
metric ({"decode": 0.011, "prefill": 0.4}).  Contestants of one job take turns for some rounds, so that
what else the machine does meets all of them; every ratio is of one round, and what is told is the
median of those ratios, with the least and the greatest.

Times are of the wall clock: threads that wait for one another count.
"""
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

OURS, LIMIT = "ours", "limit"
FAR = 25            # who takes so many times as long as ours is measured once, and not again


class Missing(Exception):
    """Something to compare with is not here; the text says what."""


class Worker:
    """A program that answers each line with a line of JSON; started when it is asked first."""

    def __init__(self, words, env=None):
        self.words, self.env, self.process = words, env, None

    def ask(self, line):
        if self.process is None:
            self.process = subprocess.Popen(self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            text=True, env={**os.environ, **(self.env or {})})
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.close()
            raise Missing(f"{os.path.basename(self.words[0])} ended at \"{line}\"")
        answer = json.loads(answer)
        if "missing" in answer:
            raise Missing(answer["missing"])
        return answer

    def close(self):
        if self.process:
            self.process.stdin.close()
            self.process.stdout.close()
            self.process.wait()
            self.process = None


@dataclass
class Job:
    """One piece of work at one number of threads.

    contestants   name -> function; `ours` and, where there is a bound, `limit` among them
    bar           metric -> the least ratio that is wanted, beside the fastest of the others
    share_bar     metric -> the least share of the limit that is wanted
    own_bar       name -> the least ratio beside that contestant, who is not one of those others then
    seconds       of a round, as expected, for the estimate of the time
    """
    section: str
    work: str
    threads: int
    contestants: dict
    rounds: int
    seconds: float
    bar: dict = field(default_factory=dict)
    share_bar: dict = field(default_factory=dict)
    unit: str = "ms"
    own_bar: dict = field(default_factory=dict)


def _spread(values):
    return [statistics.median(values), min(values), max(values)]


def _is_far(times, name):
    """Whether all that is known of a contestant is far from ours."""
    known = [by_name for by_name in times.values() if name in by_name]
    return bool(known) and all(by_name[name][0] > FAR * by_name[OURS][0] for by_name in known)


def run_job(job, tell):
    """Rows of the job's metrics, and what was missing: {name: reason}."""
    times, missing = {}, {}
    names = [n for n in job.contestants if n != OURS]
    for r in range(job.rounds):
        order = [OURS] + (names if r % 2 == 0 else names[::-1])
        for name in order:
            if name in missing or _is_far(times, name):
                continue
            tell(f"{job.work}, {job.threads} thread{'s' * (job.threads > 1)}, round {r + 1}: {name}")
            try:
                for metric, seconds in job.contestants[name]().items():
                    times.setdefault(metric, {}).setdefault(name, []).append(seconds)
            except Missing as reason:
                missing[name] = str(reason)
        if OURS in missing:
            break
    rows = [_row(job, metric, by_name) for metric, by_name in times.items() if OURS in by_name]
    return [r for r in rows if r], missing


def _row(job, metric, by_name):
    """A metric's figures; all times in seconds."""
    ours = by_name[OURS]
    row = {"section": job.section, "work": f"{job.work}, {metric}" if metric else job.work,
           "threads": job.threads, "rounds": len(ours), "unit": job.unit,
           "ours": statistics.median(ours), "bar": job.bar.get(metric),
           "share_bar": job.share_bar.get(metric), "beside": {}}
    for name, theirs in by_name.items():
        if name == OURS:
            continue
        ratios = [t / o for t, o in zip(theirs, ours)]
        if name == LIMIT:
            row["share"] = _spread(ratios)
        else:
            row["beside"][name] = {"seconds": statistics.median(theirs), "ratio": _spread(ratios)}
            if name in job.own_bar:
                row["beside"][name]["bar"] = job.own_bar[name]
    if row["beside"]:
        others = [n for n in row["beside"] if n not in job.own_bar] or list(row["beside"])
        row["best"] = min(others, key=lambda n: row["beside"][n]["seconds"])
    return row


class Progress:
    """A line on standard error: how far, how long to go."""

    def __init__(self, jobs, out=sys.stderr):
        self.out, self.live = out, out.isatty()
        self.total = sum(j.seconds * j.rounds for j in jobs)
        self.done, self.began, self.shown = 0.0, time.monotonic(), 0.0

    def tell(self, what):
        now = time.monotonic()
        spent = now - self.began
        pace = spent / self.done if self.done > 0.05 * self.total else 1
        left = max(0, self.total - self.done) * max(pace, 0.5)
        line = f"bench: {clock(spent)} spent, about {clock(left)} to go: {what}"
        if self.live:
            self.out.write(f"\r\033[K{line[:110]}")
        elif now - self.shown >= 10:
            self.out.write(line + "\n")
            self.shown = now
        self.out.flush()

    def finished(self, job):
        self.done += job.seconds * job.rounds

    def say(self, line):
        self.out.write(("\r\033[K" if self.live else "") + line + "\n")


def clock(seconds):
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
