//! Images of `/tmp` in other sizes than the usual one: each is formatted once, beside the loop, and copied for every
//! sandbox. A start whose size is new waits for it; no other start ever waits for a file system to be made.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, OwnedFd};

use super::errand::Then;
use super::instance::Pending;
use super::serve::Broker;
use crate::failure::{At, Failure};
use crate::root::scratch::{self, Template, USUAL_BYTES};
use crate::spec::Layers;

/// Sizes that are kept besides the usual one; what was not used for longest goes first.
const SIZES: usize = 6;

/// Images, and starts that wait for one.
#[derive(Debug, Default)]
pub(super) struct Images {
    /// Used last: at the back.
    ready: VecDeque<Template>,
    waiting: Vec<(Pending, Layers)>,
}

// === impl Broker ===

impl Broker {
    /// The image to copy for this size, or the usual one where there is none of it.
    pub(super) fn template_for(&self, bytes: u64) -> Option<&Template> {
        self.images.ready.iter().find(|template| template.bytes() == bytes).or(self.template.as_ref())
    }

    /// Whether a sandbox with this `/tmp` needs an image that is not the one every shell has.
    pub(super) fn needs_image(&self, layers: Layers, bytes: u64) -> bool {
        layers.root && bytes != USUAL_BYTES && self.template.is_some()
    }

    /// Has an image of this size made, unless there is one or it is under way.
    pub(super) fn prepare_image(&mut self, bytes: u64) -> Result<(), Failure> {
        let is_it = |template: &Template| template.bytes() == bytes;
        let under_way = self.errands.any(|then| matches!(then, Then::Image(template) if is_it(template)));
        if under_way || bytes == USUAL_BYTES || self.template.is_none() || self.images.ready.iter().any(is_it)
        {
            return Ok(());
        }
        let template = Template::begin(&self.configuration.directory, bytes)?;
        let number = template.descriptor().as_raw_fd();
        let image = template.share().at(|| "share an image")?;
        self.send_off(c"lambent-image", &[number, image.as_raw_fd()], Then::Image(template), |_| {
            scratch::format(&image, bytes)
        })
    }

    /// Assigns a start with a `/tmp` of another size, now or when its image is there.
    pub(super) fn assign_with_image(
        &mut self,
        mut pending: Pending,
        layers: Layers,
    ) -> Result<(), (u64, Failure)> {
        let ticket = pending.ticket.number;
        let bytes = pending.ticket.outline.tmp_bytes;
        match self.image(bytes).map_err(|failure| (ticket, failure))? {
            Some(image) => {
                pending.descriptors.push(image);
                self.assign(pending, layers)
            }
            None => {
                self.images.waiting.push((pending, layers));
                self.prepare_image(bytes).map_err(|failure| {
                    self.images.waiting.retain(|(pending, _)| pending.ticket.number != ticket);
                    (ticket, failure)
                })
            }
        }
    }

    /// A copy of the descriptor of this size's image, if it is there.
    pub(super) fn image(&mut self, bytes: u64) -> Result<Option<OwnedFd>, Failure> {
        let Some(found) = self.images.ready.iter().position(|template| template.bytes() == bytes) else {
            return Ok(None);
        };
        let Some(template) = self.images.ready.remove(found) else { return Ok(None) };
        let image = template.share().at(|| "share an image");
        self.images.ready.push_back(template);
        image.map(Some)
    }

    /// An image is formatted, or cannot be.
    pub(super) fn image_made(&mut self, template: Template, done: &Result<(), Failure>) {
        let bytes = template.bytes();
        let wanted = |(pending, _): &mut (Pending, Layers)| pending.ticket.outline.tmp_bytes == bytes;
        let waiting: Vec<_> = self.images.waiting.extract_if(.., wanted).collect();
        if done.is_ok() {
            self.images.ready.push_back(template);
            while self.images.ready.len() > SIZES {
                self.images.ready.pop_front();
            }
        }
        for (pending, layers) in waiting {
            let ticket = pending.ticket.number;
            let assigned = match done {
                Ok(()) => self.assign_with_image(pending, layers),
                Err(failure) => Err((ticket, failure.clone())),
            };
            if let Err((ticket, failure)) = assigned {
                self.refuse(ticket, failure);
            }
        }
    }
}
