"""The cases and the domains they are for, as data: *.toml. Read by nfxlat.conformance.suite."""
