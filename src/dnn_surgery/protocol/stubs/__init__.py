"""Generated from protocol/proto by scripts/generate_stubs; do not edit."""
