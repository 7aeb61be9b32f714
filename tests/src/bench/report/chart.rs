//! The plot: packets per second of each relay.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::Report;

const CONTENDERS: [(&str, &str); 5] = [
    ("floor", "bare XDP redirect (the floor)"),
    ("re6st", "re6st-ebpf"),
    ("forwarding", "kernel IPv6 forwarding, no tunnel"),
    ("vxlan", "kernel VXLAN"),
    ("openvpn", "OpenVPN, no encryption"),
];

/// Draws it, if relays were measured.
pub fn draw(report: &Report, path: &Path) -> Result<()> {
    let mut bars = Vec::new();
    for length in [64, 1400] {
        for (name, label) in CONTENDERS {
            if let Some(seen) = report.measurement(&format!("relay-{length}-{name}")) {
                let value = seen.median();
                bars.push((
                    format!("{label}, {length} bytes"),
                    value / 1e6,
                    name == "re6st",
                ));
            }
        }
    }
    if bars.is_empty() {
        return Ok(());
    }
    plot(&bars, path).map_err(|error| anyhow!("drawing {}: {error}", path.display()))
}

fn plot(
    bars: &[(String, f64, bool)],
    path: &Path,
) -> Result<(), DrawingAreaErrorKind<<SVGBackend<'static> as DrawingBackend>::ErrorType>> {
    const ROW: i32 = 30;
    const LABELS: i32 = 330;
    const SCALE: i32 = 420;
    let (width, height) = (LABELS + SCALE + 110, ROW * bars.len() as i32 + 50);
    let area = SVGBackend::new(path, (width as u32, height as u32)).into_drawing_area();
    area.fill(&WHITE)?;
    let most = bars.iter().map(|(_, value, _)| *value).fold(0.0, f64::max);
    let font = ("sans-serif", 15).into_font();
    area.draw(&Text::new(
        "Relay: million packets per second on one core",
        (10, 12),
        font.clone(),
    ))?;
    for (index, (label, value, ours)) in bars.iter().enumerate() {
        let top = 40 + ROW * index as i32;
        let length = (value / most * f64::from(SCALE)) as i32;
        let colour = if *ours {
            RGBColor(0x1b, 0x7f, 0x5c)
        } else {
            RGBColor(0x9a, 0xa5, 0xb1)
        };
        area.draw(&Text::new(label.clone(), (10, top + 4), font.clone()))?;
        area.draw(&Rectangle::new(
            [(LABELS, top), (LABELS + length.max(1), top + ROW - 8)],
            colour.filled(),
        ))?;
        area.draw(&Text::new(
            format!("{value:.3}"),
            (LABELS + length + 8, top + 4),
            font.clone(),
        ))?;
    }
    area.present()
}
