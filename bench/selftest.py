"""The arithmetic of the benchmark, without measuring anything: ratios, the table, the check, the files."""
import copy
import os
import struct
import tempfile
import types

import measure
import models
import report
import sections


def made_rows(ours=(1.0, 2.0, 4.0), theirs=(2.0, 2.0, 4.0), limit=(0.5, 1.0, 2.0), own_bar=None):
    """A job whose contestants only count."""
    def contestant(values):
        values = list(values)
        return lambda: {"decode": values.pop(0)}

    def absent():
        raise measure.Missing("not here")

    job = measure.Job("small", "a model", 1,
                      {measure.OURS: contestant(ours), "peer": contestant(theirs),
                       "slow peer": contestant([9.0, 9.0, 9.0]), "absent": absent,
                       measure.LIMIT: contestant(limit)}, 3, 0.1, {"decode": 1.5}, {"decode": 0.4},
                      own_bar=own_bar or {})
    rows, missing = measure.run_job(job, lambda what: None)
    assert missing == {"absent": "not here"}, missing
    return rows


def test_ratios():
    row, = made_rows()
    assert row["work"] == "a model, decode" and row["rounds"] == 3 and row["ours"] == 2.0
    assert row["best"] == "peer", "the fastest of the others"
    assert row["beside"]["peer"]["ratio"] == [1.0, 1.0, 2.0], "of each round, then the median"
    assert row["share"] == [0.5, 0.5, 0.5]
    assert len(report.fell_short([row])) == 1, "1.0 is below 1.5; 0.5 is not below 0.4"
    text = report.table([row])
    assert "1.00 (1.00-2.00)" in text and "1.5 *" in text and "0.4 *" not in text, text
    assert "| 1.00 (1.00-2.00) | 1.5 |" in report.markdown([row])


def test_own_bars():
    """Who has a bar of its own is told in a line of its own, and is not the fastest of the others."""
    row, = made_rows(own_bar={"peer": 1.0})
    assert row["best"] == "slow peer" and row["beside"]["peer"]["bar"] == 1.0
    assert report.fell_short([row]) == [], "4.5 of 1.5 and 1.0 of 1.0"
    text = report.table([row]).splitlines()
    assert len(text) == 4 and "slow peer" in text[2] and " peer " in text[3] and "*" not in text[3], text
    assert report.markdown([row]).count("a model, decode") == 2
    row, = made_rows(own_bar={"peer": 1.1})
    assert len(report.fell_short([row])) == 1 and "of peer, wanted 1.1" in report.fell_short([row])[0]


def test_regressions():
    row, = made_rows()

    def changed(factor, share=1.0):
        new = copy.deepcopy(row)
        new["beside"]["peer"]["ratio"] = [factor * r for r in new["beside"]["peer"]["ratio"]]
        new["share"] = [share * s for s in new["share"]]
        return report.regressions([row], [new])
    assert changed(1) == [] and changed(0.96) == [] and changed(3) == []
    worse = changed(0.94)
    assert len(worse) == 1 and "beside peer" in worse[0] and "-6.0 %" in worse[0], worse
    assert len(changed(1, 0.9)) == 1, "a share counts as a ratio does"
    assert len(report.comparisons([row], [row])) == 3, "two beside, and the share"
    other = dict(row, threads=2)
    assert report.comparisons([row], [other]) == []
    assert report.regressions([row], [other]) == [], "another number of threads is other work"
    alone = dict(row, beside={})
    assert report.regressions([row], [alone]) == [], "who is not here now cannot be compared with"


def test_far():
    """Who is far behind is asked once; a ratio of one round it has all the same."""
    asked = []

    def slow():
        asked.append(1)
        return {"": 26.0}
    job = measure.Job("gemm", "a product", 1, {measure.OURS: lambda: {"": 1.0}, "near": lambda: {"": 24.0},
                                               "far": slow}, 3, 0.1)
    (row,), _ = measure.run_job(job, lambda what: None)
    assert len(asked) == 1 and row["beside"]["far"]["ratio"] == [26, 26, 26] and row["best"] == "near"


def test_same_machine():
    here = {"machine": "a processor", "isa": "avx2"}
    for stored in (here, {"machine": "a processor"}, {}):
        report.same_machine(stored, here, "a.json")
    for stored in (dict(here, isa="amx"), dict(here, machine="another")):
        try:
            report.same_machine(stored, here, "a.json")
        except ValueError as error:
            assert "a.json is of" in str(error) and "this is a processor, avx2" in str(error)
        else:
            raise AssertionError("ratios of another machine were taken")


def test_files():
    row, = made_rows()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a.json")
        report.save(path, {"rows": [row]})
        assert report.load(path)["rows"] == [row]
        for text in ("[]", "{", "{\"rows\": 1}"):
            with open(path, "w") as f:
                f.write(text)
            try:
                report.load(path)
            except ValueError as error:
                assert "a.json" in str(error)
            else:
                raise AssertionError(f"{text} is no document")


def test_gguf():
    """The file's size follows from its header, whatever the type of the weights."""
    tiny = dict(family="llama", vocab=64, context=16, width=64, depth=2, heads=2, kv_heads=1,
                hidden=96, tied=True)
    with tempfile.TemporaryDirectory() as folder:
        bench = types.SimpleNamespace(folder=folder)
        for kind, (_, elements, size, _) in models.TYPES.items():
            path = models.gguf(bench, "tiny", tiny, kind)
            with open(path, "rb") as f:
                data = f.read()
            assert data[:4] == b"GGUF" and struct.unpack_from("<I", data, 4)[0] == 3
            n_tensors, = struct.unpack_from("<Q", data, 8)
            assert n_tensors == 2 + 2 * 9, n_tensors
            weights = models.matrix_bytes(tiny, kind)           # tied: the table is the output
            vectors = 4 * 64 * (1 + 2 * 2)
            header = len(data) - weights - vectors
            assert 0 < header < 4096, (kind, header)
        weights, tokenizer = models.llama2(bench, "tiny", dict(tiny, kv_heads=2))
        floats = 64 * 64 + 2 * (4 * 64 * 64 + 3 * 64 * 96 + 2 * 64) + 64 + 16 * 32
        assert os.path.getsize(weights) == 28 + 4 * floats
        assert os.path.getsize(tokenizer) > 64 * 8
    assert models.parameters(models.GPT2) == 124439808


def test_sections():
    """Every section makes jobs of its own name, for each number of threads, with ours among them."""
    options = types.SimpleNamespace(build="build", quick=True, python=None, llama_bench=None,
                                    llama2=None, llmc=None, llmc_256=None, threads=[1, 2], text="text", rounds=None)
    bench = sections.Bench(options, ".", ".")
    seconds = 0.0
    for name, section in sections.SECTIONS.items():
        jobs = section(bench)
        assert jobs and all(j.section == name and measure.OURS in j.contestants for j in jobs), name
        assert {j.threads for j in jobs} == {1, 2}, name
        assert len({(j.work, j.threads) for j in jobs}) == len(jobs), f"{name}: two of one name"
        seconds += sum(j.seconds * j.rounds for j in jobs)
    assert seconds < 13 * 60, f"--quick would take {measure.clock(seconds)}"


def main():
    tests = [f for name, f in sorted(globals().items()) if name.startswith("test_")]
    for test in tests:
        test()
        print(f"{test.__name__}: good")
    return 0
