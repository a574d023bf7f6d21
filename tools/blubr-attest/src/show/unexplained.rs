//! The page's `Image against record`: how many entries have their step, and which differ from what was recorded.

use blubr_attestation::build::{Outcome, Unexplained, What};
use blubr_attestation::detail::Table;
use blubr_cli::printable;

use super::page::{Entries, Page, shown};
use crate::assemble::EXPLAINED;

/// How many unexplained entries are shown; the rest is counted.
const UNEXPLAINED_SHOWN_MAX: usize = 20;

impl Page<'_> {
    pub(super) fn unexplained(&mut self) {
        self.title("Image against record");
        let Some(list) = &self.build.unexplained else {
            self.line("  not checked");
            return;
        };
        if let Some(detail) = self.elsewhere {
            let all = detail.annotations.tables.get(Table::Files.name()).copied().unwrap_or(0);
            self.line(format!("  {all} entries in new layers: in {}", detail.name));
        } else {
            let Entries { all, of_known_step } = self.entries;
            self.line(format!(
                "  {all} entries in new layers, of {of_known_step} of them the step is known"
            ));
        }
        if list.is_empty() {
            let all =
                self.build.checks.iter().any(|one| one.id == EXPLAINED && one.result == Outcome::Pass);
            self.line(if all {
                "  every entry is explained by an event, and every recorded write by the image"
            } else {
                "  nothing is known to be unexplained, and not all is explained: see image-explained"
            });
        }
        for one in list.iter().take(UNEXPLAINED_SHOWN_MAX) {
            let name = shown(one.path.as_deref(), one.path_b64.as_deref());
            let what = match one.what {
                What::EntryWithoutEvent => "in the image, and no event explains it",
                What::WriteNotInImage => {
                    "written or taken away by a step, and the image does not show it"
                }
                What::ForeignWrite => {
                    "in the image, and written by a process that is no part of the build"
                }
                What::AttributeWithoutEvent => "in the image otherwise than any event left it",
            };
            self.line(format!("  {name}: {what}{}", attribute(one)));
        }
        if list.len() > UNEXPLAINED_SHOWN_MAX {
            self.line(format!(
                "  ... and {} more (--json shows all)",
                list.len() - UNEXPLAINED_SHOWN_MAX
            ));
        }
    }
}

/// Which attribute an unexplained entry is about, and the two sides.
fn attribute(one: &Unexplained) -> String {
    let Some(attribute) = &one.attribute else { return String::new() };
    let (image, recorded) = (one.image.as_deref().unwrap_or("none"), one.recorded.join(" or "));
    let recorded = if recorded.is_empty() { "none" } else { &recorded };
    format!(": {} {}, recorded {}", printable(attribute), printable(image), printable(recorded))
}

#[cfg(test)]
mod tests {
    use blubr_attestation::build::{BlubrBuild, Check};

    use super::*;

    #[test]
    fn all_is_explained_only_where_the_check_passed() {
        for (result, all) in [(Outcome::Pass, true), (Outcome::Unknown, false)] {
            let check = Check { id: EXPLAINED.to_owned(), result, ..Check::default() };
            let build = BlubrBuild {
                unexplained: Some(Vec::new()),
                checks: vec![check],
                ..BlubrBuild::default()
            };
            let mut page = Page::new(&build, Entries::default(), false);
            page.unexplained();
            assert_eq!(page.out.contains("every entry is explained"), all, "{}", page.out);
            assert_eq!(page.out.contains("see image-explained"), !all, "{}", page.out);
        }
    }

    #[test]
    fn of_a_removal_that_the_image_does_not_show_it_is_not_said_that_it_was_written() {
        let what = What::WriteNotInImage;
        let one = Unexplained { what, path: Some("/k".into()), ..Default::default() };
        let build = BlubrBuild { unexplained: Some(vec![one]), ..BlubrBuild::default() };
        let mut page = Page::new(&build, Entries::default(), false);
        page.unexplained();
        let said = "  /k: written or taken away by a step, and the image does not show it\n";
        assert!(page.out.contains(said), "{}", page.out);
    }
}
