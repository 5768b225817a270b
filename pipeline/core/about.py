"""What this program is called, as constants: reading package metadata at start-up would cost as much as click."""

NAME = "pipeline"
DISTRIBUTION = "release-chain"
VERSION = "0.1.0"
LABEL_VERSION = "org.opencontainers.image.version"
LABEL_REVISION = "org.opencontainers.image.revision"
LABEL_INPUTS = "dev.release-chain.inputs"
