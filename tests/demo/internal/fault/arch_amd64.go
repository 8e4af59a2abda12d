package fault

const (
	seccompNumber     = 317
	pwritev2Number    = 328
	renameat2Number   = 316
	auditArchitecture = 0xc000003e
)
