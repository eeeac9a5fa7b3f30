#include "cli/command.h"

namespace ckpt::cli {

const std::vector<Command>& AllCommands() {
  static const auto& commands = *new std::vector<Command>{
      DumpCommand(),         RestoreCommand(),  MigrateCommand(),
      RunCommand(),          PsCommand(),       LogsCommand(),
      StopCommand(),         SuspendCommand(),  ResumeCommand(),
      ListCommand(),         ShowCommand(),     VerifyCommand(),
      RemoveCommand(),       PinCommand(),      UnpinCommand(),
      PushCommand(),         PullCommand(),     FreezeCommand(),
      ThawCommand(),         StatusCommand(),   WatchCommand(),
      VerifyFreezeCommand(), KillCommand(),     RecoverCommand(),
      CheckCommand(),        OpsCommand(),      VersionCommand(),
      SelfDumpCommand(),     SelfServeCommand()};
  return commands;
}

}  // namespace ckpt::cli
