//! The options of `celery worker` as its users type them, given to `waybill work`.

use serde_json::Value as Json;

use crate::stage::Stage;

#[test]
fn what_a_celery_user_types_acts_or_is_answered_with_a_word() {
    let mut stage = Stage::real(&["--hang", "1"]);
    let typed = "work -Q waybill,reports -c 3 -n first@flags -l debug -E --prefetch-multiplier 2 --accept-content json,yaml \
         --heartbeat-interval 1 --time-limit 1 --soft-time-limit 30.5 --without-gossip --max-tasks-per-child 9 --max-memory-per-child 100000 -P solo -Ofair";
    let first = stage.start(&words(typed));
    stage.process(first).wait_for("remote control answers as first@flags");
    let typed = "work -X waybill --autoscale=10,3 -n second@flags -l INFO --without-heartbeat --without-mingle";
    let second = stage.start(&words(typed));
    stage.process(second).wait_for("remote control answers as second@flags");

    let told = stage.run_python(
        "tests/interop/python/watch.py",
        &["--backend", "rpc://", "--node", "first@flags", "flags"],
    );

    let (good, out) = (told.code == 0, told.out);
    let checks: Vec<Json> = out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let broken: Vec<&Json> = checks.iter().filter(|check| check["ok"] != true).collect();
    assert!(
        good && checks.len() > 10 && broken.is_empty(),
        "{broken:?}\n{}",
        told.err
    );
    let (first, second) = (stage.process(first).log(), stage.process(second).log());
    for said in [
        " DEBUG ",
        "mingle: ",
        "--without-gossip means nothing here",
        "--max-tasks-per-child and --max-memory-per-child mean nothing here",
        "-P and -O mean nothing here",
    ] {
        assert!(first.contains(said) && !second.contains(said), "{said:?}");
    }
    assert!(second.contains(" INFO "), "{second}");
    for typed in [
        "work -B",
        "work --purge",
        "work -D",
        "work --pidfile w.pid",
        "work -f w.log",
        "work -A proj",
    ] {
        let refused = stage.run(&words(typed));
        assert_eq!(refused.code, 2, "{typed}: {}", refused.err);
    }
}

fn words(typed: &str) -> Vec<&str> {
    typed.split_whitespace().collect()
}
