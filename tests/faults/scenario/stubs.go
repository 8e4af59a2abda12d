package scenario

var badBlocks []Scenario
var crashStates []Scenario
var systemCalls []Scenario
var environment []Scenario
