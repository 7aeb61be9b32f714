//! `re6st-user trace`: what the loaded programs would do with a packet.

use std::{io::Write as _, path::Path, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Args;
use re6st_user::{
    dataplane::bpf::{InstanceName, Pins},
    description::{Description, headers::Header},
    trace::{self, Outcome, Trace},
};

const HELP: &str = "\
The packet is described in one line:

  WHERE: PACKET            or   WHERE: OUTER: PACKET   or   on INTERFACE: hex DIGITS

  WHERE   on INTERFACE [vlan N]     it arrives there
          from tunnel NAME          the peer sends it: outer headers and interface are the tunnel's
          send                      this host sends it
  OUTER   ADDRESS > ADDRESS  fou [port N] | gre  [key N]  MORE
  PACKET  ADDRESS > ADDRESS  [udp [N > N] | tcp [N > N] | icmp | protocol N]  MORE
  MORE    [hop-limit N] [class N] [length N] [options] [fragment]

The length is that of the IP packet, in bytes; that of an outer header is what it states, true or not. Colons end a word.

Examples:

  re6st-user trace 'from tunnel b: 2001:db8:42:2::1 > 2001:db8:42:3::1 tcp 5000 > 80'
  re6st-user trace 'from tunnel b: 10.42.2.1 > 10.42.3.1 icmp hop-limit 1'
  re6st-user trace 'on eth0: 192.0.2.7 > 192.0.2.1 fou key 7: 2001:db8:42:2::1 > 2001:db8:42:3::1 udp 5000 > 53 length 1400'
  re6st-user trace 'on eth0 vlan 100: 192.0.2.7 > 192.0.2.1 gre key 7: 10.42.2.1 > 10.42.3.1 icmp'
  re6st-user trace 'on lan0: 10.42.1.9 > 10.42.3.1 tcp'
  re6st-user trace 'send: 10.42.1.1 > 10.42.3.1 icmp'
  re6st-user trace 'on eth0: hex 020000000001020000000002 0800 ...'

The pinned programs themselves run on the packet; nothing is sent. They count it as they count any other packet. The reason
comes from the same logic run once more here, on the same maps: should the two disagree, the exit status is 1.";

/// Options of `trace`.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub struct TraceArguments {
    /// The instance.
    #[arg(long, value_name = "NAME", default_value = InstanceName::DEFAULT, value_parser = InstanceName::parse)]
    instance: InstanceName,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The packet, in one line: see `--help`.
    #[arg(required = true, value_name = "DESCRIPTION")]
    description: Vec<String>,
}

/// Follows the described packet through the maps of a running instance, and prints what becomes of it.
pub fn run(arguments: &TraceArguments, bpffs: &Path) -> Result<ExitCode> {
    let description: Description = arguments.description.join(" ").parse()?;
    let pins = Pins::new(bpffs, &arguments.instance);
    let trace = trace::trace(&pins, &description)?;
    let shown = match arguments.json {
        true => serde_json::to_string_pretty(&trace)? + "\n",
        false => text(&trace),
    };
    match std::io::stdout().write_all(shown.as_bytes()) {
        // the reader has seen enough (`| head`)
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        result => result.context("write to the standard output")?,
    }
    Ok(match trace.disagreements.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn text(trace: &Trace) -> String {
    let mut text = String::new();
    let mut line = |title: &str, content: &str| {
        text += format!("{title:<10}{content}").trim_end();
        text.push('\n');
    };
    line("packet", &trace.description);
    list(&mut line, "arrives", &trace.before);
    if let Some(tunnel) = &trace.from_tunnel {
        line("from", &format!("tunnel {tunnel}"));
    }
    line(
        "verdict",
        &format!(
            "{} ({} by {})",
            outcome(trace),
            trace.verdict,
            trace.program
        ),
    );
    if let Some(reason) = &trace.reason {
        line(
            "reason",
            &format!("{}: {}", reason.name, reason.description),
        );
    }
    if let Some(hop) = &trace.to_tunnel {
        line(
            "route",
            &format!("tunnel {} (next hop {})", hop.name, hop.number),
        );
    }
    if trace.outcome != Outcome::Untouched {
        list(&mut line, "becomes", &trace.after);
    }
    for disagreement in &trace.disagreements {
        line("BUG", disagreement);
    }
    if !trace.disagreements.is_empty() {
        line(
            "",
            "The programs and this command disagree: please report it, with this output. (Or was something loaded meanwhile?)",
        );
    }
    text
}

fn list(line: &mut impl FnMut(&str, &str), title: &str, headers: &[Header]) {
    for (number, header) in headers.iter().enumerate() {
        line(if number == 0 { title } else { "" }, &header.to_string());
    }
}

fn outcome(trace: &Trace) -> String {
    let interface = trace.interface.as_deref().unwrap_or("an unknown interface");
    match trace.outcome {
        Outcome::Dropped => "dropped".to_owned(),
        Outcome::Untouched => "to the kernel, untouched".to_owned(),
        Outcome::MeshDevice => "to the kernel, on the mesh device".to_owned(),
        Outcome::Sent => format!("out of {interface}"),
        Outcome::SentByTc => {
            format!("out of {interface}, by TC, where the kernel finds the neighbour")
        }
        Outcome::NextInstance => match &trace.next_instance {
            Some(instance) => {
                format!("to instance {instance}: trace it with --instance {instance}")
            }
            None => "to the next instance".to_owned(),
        },
    }
}
