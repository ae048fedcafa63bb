//! What every back end of records must do.
