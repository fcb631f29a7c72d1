//! `cfx completions SHELL` and `cfx man DIR`: made from the same definition as the command line itself.

use crate::args::Args;
use crate::{exit, output};
use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_complete::Shell;
use std::path::Path;

pub fn completions(shell: Shell) -> Result<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "cfx", &mut text);
    output::line(String::from_utf8(text).context("the completions are not text")?.trim_end());
    Ok(exit::OK)
}

pub fn pages(folder: &Path) -> Result<u8> {
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    clap_mangen::generate_to(Args::command(), folder)
        .with_context(|| format!("the pages cannot be written to {}", folder.display()))?;
    output::line(format!("man pages in {0}; read them with: man -l {0}/cfx.1", folder.display()));
    Ok(exit::OK)
}
