//! The command line.

use std::rc::Rc;
use std::time::Duration;

use sidestream::mock::{self, Options};

/// Only `mock`, until the command line proper is there.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let (mut options, mut epoll) = (Options::default(), false);
    if words.next().as_deref() != Some("mock") {
        return Err("usage: sidestream mock [--listen A] [--ttft-ms N] [--gap-ms N] [--chunks N] [--bytes N] [--replay FILE] [--epoll 1]".into());
    }
    while let (Some(flag), Some(value)) = (words.next(), words.next()) {
        match flag.as_str() {
            "--listen" => options.listen = value,
            "--ttft-ms" => options.ttft = Duration::from_millis(value.parse()?),
            "--gap-ms" => options.gap = Duration::from_millis(value.parse()?),
            "--chunks" => options.chunks = value.parse()?,
            "--bytes" => options.bytes = value.parse()?,
            "--replay" => options.replay = Some(std::fs::read(value)?),
            "--epoll" => epoll = true,
            _ => return Err(format!("unknown flag {flag}").into()),
        }
    }
    let listener = std::net::TcpListener::bind(&options.listen)?;
    let options = Rc::new(options);
    if epoll {
        let mut runtime = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new()
            .enable_timer()
            .build()?;
        runtime.block_on(mock::serve(listener, options))?;
    } else {
        let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new()
            .enable_timer()
            .build()?;
        runtime.block_on(mock::serve(listener, options))?;
    }
    Ok(())
}
