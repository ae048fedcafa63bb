//! Keeps records, blobs, unpacked code and logs on disk, durably
