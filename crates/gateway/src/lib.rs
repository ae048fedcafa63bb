//! The HTTP data plane: accept, route, hand over, stream back
