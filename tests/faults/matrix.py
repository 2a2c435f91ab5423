"""The faults that the platform is tested against, by the number that the marker `fault` takes."""

FAULTS = {
    1: "worker's parent process killed, or its whole machine gone",
    2: "supervisor child or runner killed",
    3: "killed inside a checkpoint's write, upload or commit",
    4: "holder stopped beyond its lease, then woken",
    5: "runner stuck or stopped",
    6: "broker killed and emptied, or flushed",
    7: "broker frozen; storm of broken connections",
    8: "doubled, stale and forged messages",
    9: "PostgreSQL crashes, ends sessions, is locked or out of reach",
    10: "answers to commits lost (submit, claim, finish)",
    11: "store answers 500, 503, slowly, not at all; answers to writes lost",
    12: "worker cut off from database, broker and store",
    13: "clocks 10 minutes wrong, and a jump",
    14: "scratch disk full",
    15: "memory used up; a runner that always dies (poison)",
    16: "newest checkpoint truncated, changed or deleted",
    17: "rolling restart of all workers",
    18: "engine killed between ringing and noting it; no engine for a while",
    19: "cancel races with the finish",
    20: "webhook receiver hangs, fails or redirects",
}
