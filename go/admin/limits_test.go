package admin

import (
	"strings"
	"testing"

	bulkhead "github.com/bulkhead-wal/bulkhead/go"
)

func limitOf(t *testing.T, limits []Limit, name string) Limit {
	t.Helper()
	for _, l := range limits {
		if l.Name == name {
			return l
		}
	}
	t.Fatalf("no %s in %+v", name, limits)
	return Limit{}
}

// What is set closest is in force, and every answer says what it was set for.
func TestLimitsOfEngineDiskAndPartition(t *testing.T) {
	p, server := serve(t)
	base := server.URL + "/bulkhead"
	var disks []Disk
	call(t, "GET", base+"/disks", "", 200, &disks)
	if len(disks) != 1 || disks[0].Partitions != 2 || !strings.HasPrefix(disks[0].Mount, "/") {
		t.Fatalf("disks: %+v", disks)
	}
	disk := base + "/disks/" + disks[0].Device + "/limits"
	one, two := base+"/partitions/7/limits", base+"/partitions/8/limits"

	var got []Limit
	call(t, "GET", one, "", 200, &got)
	if l := limitOf(t, got, "heal_limit_ms"); l != (Limit{"heal_limit_ms", 300, 0, 60000, "open"}) {
		t.Errorf("at first: %+v", l)
	}
	for _, l := range got {
		if l.Name == "read_cache_bytes" || l.Name == "flush_threads_per_disk" {
			t.Errorf("a partition has no %s of its own", l.Name)
		}
	}
	call(t, "POST", base+"/limits", `{"heal_limit_ms": 400, "read_cache_bytes": 1048576}`, 200, &got)
	if l := limitOf(t, got, "read_cache_bytes"); l.Value != 1<<20 || l.From != "engine" {
		t.Errorf("of the engine: %+v", l)
	}
	call(t, "POST", disk, `{"heal_limit_ms": 500, "flush_threads_per_disk": 2}`, 200, &got)
	if l := limitOf(t, got, "flush_threads_per_disk"); l.Value != 2 || l.From != "disk" {
		t.Errorf("of the disk: %+v", l)
	}
	call(t, "POST", one, `{"heal_limit_ms": "never"}`, 200, &got)
	if l := limitOf(t, got, "heal_limit_ms"); l.Value != 0 || l.From != "partition" {
		t.Errorf("of the partition: %+v", l)
	}
	call(t, "GET", two, "", 200, &got)
	if l := limitOf(t, got, "heal_limit_ms"); l.Value != 500 || l.From != "disk" {
		t.Errorf("of the other one: %+v", l)
	}
	limits, err := p.Limits()
	for _, l := range limits {
		if l.Limit == bulkhead.LimitHealLimitMs && l.Value != bulkhead.LimitNever {
			t.Errorf("the library says %+v", l)
		}
	}
	if err != nil || len(limits) == 0 {
		t.Error(limits, err)
	}
	// What a GET says may be sent back as it is.
	call(t, "POST", one, `{"heal_limit_ms": 0}`, 200, &got)
	call(t, "POST", one, `{"heal_limit_ms": "inherit"}`, 200, &got)
	call(t, "POST", disk, `{"heal_limit_ms": "inherit"}`, 200, nil)
	call(t, "GET", one, "", 200, &got)
	if l := limitOf(t, got, "heal_limit_ms"); l.Value != 400 || l.From != "engine" {
		t.Errorf("taken back: %+v", l)
	}
}

func TestDeviceNumbersAreWrittenAsTheSystemDoes(t *testing.T) {
	for device, want := range map[uint64]string{0x811: "8:17", 0: "0:0", 259<<8 | 5: "259:5", 0x0000100000100000 | 253<<8: "4349:256"} {
		if got := deviceText(device); got != want {
			t.Errorf("%#x: %s, not %s", device, got, want)
		}
	}
}
