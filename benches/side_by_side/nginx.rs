//! nginx as it answers by itself.

use std::process::Command;

use crate::{question::ACTIVE, support::nginx::Nginx};

/// Answers 200 to everything.
pub(crate) fn returning() -> Nginx {
    start("", "", "return 200;")
}

/// Answers by a dictionary that its workers share, as those do who write it themselves.
pub(crate) fn with_lua() -> Nginx {
    let modules = modules();
    let load = ["ndk_http_module", "ngx_http_lua_module"]
        .map(|module| format!("load_module {modules}/{module}.so;\n"))
        .concat();
    let dictionary = format!(
        "lua_shared_dict customers 64m;
         init_by_lua_block {{ ngx.shared.customers:set('{ACTIVE}', 'active') }}"
    );
    let decide = "content_by_lua_block {
        local status = ngx.shared.customers:get(ngx.var.http_x_customer_id or '')
        if status ~= 'active' then return ngx.exit(403) end
        ngx.header['X-Status'] = status
        ngx.exit(200)
    }";
    start(&load, &dictionary, decide)
}

fn start(load: &str, more: &str, answer: &str) -> Nginx {
    Nginx::start_with(|address, files| {
        format!(
            "{load}
            error_log error.log;
            events {{ worker_connections 1024; }}
            http {{
                {files}
                access_log off;
                keepalive_requests 1000000000;
                {more}
                server {{
                    listen {address};
                    location / {{ {answer} }}
                }}
            }}"
        )
    })
}

/// Where it has its modules.
fn modules() -> String {
    let built = Command::new("nginx").arg("-V").output().unwrap();
    let built = String::from_utf8_lossy(&built.stderr).into_owned();
    let path = built.split_whitespace().find_map(|flag| flag.strip_prefix("--modules-path="));
    path.unwrap_or_else(|| panic!("nginx has no modules: {built}")).to_owned()
}
