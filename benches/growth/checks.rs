//! What a check costs when all customers are asked about, by chance.

use std::{fmt::Write as _, fs, net::SocketAddr, process::Command, time::Duration};

use serde_json::Value;

use crate::{
    cores::{Cores, on},
    crowd,
    load::{after, before, printed},
    question::{FORWARD_AUTH, Question},
    support::tollgate::Tollgate,
    usage,
};

/// What an instance was asked, and what it took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checks {
    /// Its CPU time for each, in microseconds.
    pub(crate) cpu: f64,
    /// Answers a second.
    pub(crate) rate: f64,
}

/// Asks about customers of a crowd and the policy's routes for so long, after it was asked as long
/// again and again until it holds no more records than before.
pub(crate) fn measure(
    tollgate: &Tollgate,
    customers: u64,
    routes: u32,
    time: Duration,
    cores: &Cores,
) -> Checks {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("question.lua");
    fs::write(&script, script_of(customers, routes)).unwrap();
    let ask = || {
        on(cores.load, || {
            let seconds = format!("{}s", time.as_secs());
            let mut wrk = Command::new("wrk");
            wrk.args(["--threads", "1", "--connections", "64", "--duration", &seconds, "--script"]);
            wrk.arg(&script).arg(url(tollgate.check));
            printed(&mut wrk, "wrk")
        })
    };
    let mut held = None;
    for _ in 0..WARM_UPS {
        ask();
        let now = tollgate.metric("tollgate_cache_entries{tier=\"recent\"}");
        if held.replace(now).is_some_and(|before| now <= before + before / 100) {
            break;
        }
    }
    let earlier = usage::cpu_time(tollgate.process());
    let printed = ask();
    let used = usage::cpu_time(tollgate.process()).saturating_sub(earlier);
    assert!(!printed.contains("errors:"), "not everything was answered:\n{printed}");
    let cpu = used.as_secs_f64() / before(&printed, " requests in ") * 1e6;
    Checks { cpu, rate: after(&printed, "Requests/sec:") }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}{FORWARD_AUTH}")
}

/// The question that gateways ask, each time about another customer and another route.
fn script_of(customers: u64, routes: u32) -> String {
    let mut question = Question::forward_auth(CUSTOMER);
    for (name, value) in &mut question.headers {
        if *name == "X-Forwarded-Uri" {
            *value = format!("/area-{ROUTE}/items/4711?page=2");
        }
    }
    let mut request = format!("{} {} HTTP/1.1\r\n", question.method, question.path);
    for (name, value) in &question.headers {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    request.push_str("\r\n");
    let (start, rest) = request.split_once(CUSTOMER).unwrap();
    let (middle, rest) = rest.split_once(ROUTE).unwrap();
    let [start, middle, rest] = [start, middle, rest].map(|text| Value::from(text).to_string());
    let route = if routes == 0 { "57".to_owned() } else { format!("math.random(0, {routes} - 1)") };
    format!(
        "local start, middle, rest = {start}, {middle}, {rest}
        math.randomseed(os.time())
        function request()
            local customer = string.format('{}%08d', math.random(0, {customers} - 1))
            return start .. customer .. middle .. {route} .. rest
        end\n",
        crowd::ID
    )
}

const WARM_UPS: usize = 8;
/// What stands where the customer and the route will.
const CUSTOMER: &str = "CUSTOMER";
const ROUTE: &str = "ROUTE";
