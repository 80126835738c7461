//! What `stopover lint` says of `notify`.

use super::telling;

/// Problems, one a line, without their remedies' beginnings and the summary.
#[track_caller]
fn problems(notify: &str) -> String {
    let scene = telling(notify).script("01_quick", "true");
    let ended = scene.stopover(&["lint", "--json"]);
    let problems: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let text = |problem: &serde_json::Value, field: &str| problem[field].as_str().unwrap_or("(hidden)").to_owned();
    let lines = problems.as_array().unwrap().iter().map(|problem| {
        format!("{}:{} {} [{}]\n", problem["line"], problem["column"], text(problem, "message"), text(problem, "text"))
    });
    assert_eq!(ended.status == 0, problems == serde_json::json!([]));
    lines.collect()
}

#[test]
fn what_is_written_right_has_no_problems() {
    let notify = "  - name: payments-oncall\n    slack: ${SLACK_WEBHOOK_URL}\n    on: [failed, lost, held]\n    environments: [production]\n    heldAfter: 10m\n    timeout: 5s\n  - webhook: https://hooks.example.com/stopover\n    headers: { Authorization: \"Bearer ${ALERT_TOKEN}\", X-Team: payments }\n";
    assert_eq!(problems(notify), "");
}

#[test]
fn secrets_that_are_written_out_are_refused_and_not_repeated() {
    let problems = problems(
        "  - slack: https://hooks.slack.com/services/T0/B0/xyz
  - { name: a, webhook: \"https://hooks.slack.com/services/T0/B0/xyz\" }
  - { name: b, webhook: \"https://ana:pw@hooks.example.com/\" }
  - { name: c, webhook: \"https://hooks.example.com/?token=xyz\" }
  - name: d
    webhook: https://hooks.example.com/
    headers:
      Authorization: Bearer xyz
      X-Api-Key: xyz
",
    );
    assert!(!problems.contains("xyz") && !problems.contains("pw@"), "{problems}");
    assert_eq!(
        problems,
        "4:12 the address of an incoming webhook is its own password [(hidden)]
5:25 the address of an incoming webhook is its own password [(hidden)]
6:25 the address holds a user or password [(hidden)]
7:25 the address holds what looks like a secret [(hidden)]
11:22 the value of the header `Authorization` is a secret [(hidden)]
12:18 the value of the header `X-Api-Key` is a secret [(hidden)]
"
    );
}

#[test]
fn mistakes_are_shown_where_they_stand() {
    let problems = problems(
        "  - name: a
    slack: ${A
  - name: b
    slack: ${B}
    on: [failed, losst]
    timeout: 2m
    held_after: 5m
  - name: b
    slack: ${B}
    headers: { X-A: b }
  - name: c
  - name: d d
    slack: ${D}
  - name: e
    slack: ${E}
    webhook: ${E}
  - name: f
    webhook: hooks.example.com
  - name: g
    slack: ${G}
    on: []
",
    );
    assert_eq!(
        problems,
        "5:12 `${` has no `}` [(hidden)]
8:18 nothing is called `losst` [    on: [failed, losst]]
9:14 `timeout` must be from 100ms to 1min [    timeout: 2m]
10:5 unknown key `held_after` in an element of `notify` [    held_after: 5m]
11:5 two receivers are called `b` [  - name: b]
13:5 `headers` are for a `webhook`, not for `slack` [(hidden)]
14:5 an element of `notify` needs `slack` or `webhook` [  - name: c]
15:11 a receiver's name has 1 to 64 letters, digits, `_`, `-` and `.` [  - name: d d]
17:5 an element of `notify` has both `slack` and `webhook` [  - name: e]
21:14 this is no address of a receiver [(hidden)]
24:9 `on` is empty: nothing would be told [    on: []]
"
    );
}
