package scenario

var badBlocks []Scenario
var syncFailure []Scenario
var fullDisk []Scenario
var crashStates []Scenario
var systemCalls []Scenario
var environment []Scenario
