package fault

const (
	seccompNumber     = 277
	pwritev2Number    = 287
	renameat2Number   = 276
	auditArchitecture = 0xc00000b7
)
