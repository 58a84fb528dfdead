//! godbg: the debugger shell that you dare to attach to a live Linux process.
