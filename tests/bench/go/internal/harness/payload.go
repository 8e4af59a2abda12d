package harness

const (
	poolBytes = 1 << 20
	poolAlign = 4096
)

// pool hands out slices of one random megabyte in turn: incompressible, and about as warm in the
// cache as data that just arrived from a network.
type pool struct {
	memory []byte
	next   int
}

func newPool() *pool {
	memory := make([]byte, poolBytes)
	state := uint64(0x9e3779b97f4a7c15)
	for i := range memory {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		memory[i] = byte(state >> 24)
	}
	return &pool{memory: memory}
}

func (p *pool) take(bytes int) []byte {
	stride := (bytes + poolAlign - 1) / poolAlign * poolAlign
	if p.next+stride > poolBytes {
		p.next = 0
	}
	payload := p.memory[p.next : p.next+bytes : p.next+bytes]
	p.next += stride
	return payload
}
